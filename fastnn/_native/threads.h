/* What a team of OpenMP threads needs beside OpenMP: its size, a barrier that costs 80 ns where
 * OpenMP's costs 300, and ways to share work and to hand memory over. Without OpenMP a team is one thread. */
#ifndef FASTNN_THREADS_H
#define FASTNN_THREADS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getcpu and CPU sets */
#endif

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

static inline int fnn_team_size(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

static inline int fnn_max_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static inline int fnn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

static inline void fnn_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* One cache line each: threads that arrive must not disturb those that watch `generation`. */
typedef struct {
    int arrived;
    char pad0[60];
    int generation;
    char pad1[60];
} fnn_barrier;

/* Waits until `size` threads have come. Spins for some microseconds, then yields, so that a thread
 * that lost its core is waited for without burning another's. All writes before are seen after. */
static inline void fnn_barrier_wait(fnn_barrier *b, int size) {
    enum { SPINS = 4000 };
    if (size == 1) return;
    const int generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == size) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == generation; spins++) {
        if (spins < SPINS) fnn_pause();
        else sched_yield();
    }
}

/* A counter that a team takes its work by, alone on its cache line: 0, 1, 2, ... to whoever asks. */
typedef struct {
    long next;
    char pad[56];
} fnn_counter;

static inline long fnn_take(fnn_counter *c) {
    return __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
}

/* What will be taken next. */
static inline long fnn_peek(const fnn_counter *c) {
    return __atomic_load_n(&c->next, __ATOMIC_RELAXED);
}

/* The part of a work that one thread of a team takes, by how fast it has been: a core of a shared
 * machine may be a tenth slower than the next one for seconds. On a cache line of its own: the thread
 * writes what it measures, and one of the team divides. */
typedef struct {
    double end;           /* of this thread's part; the one before it ends where it begins, 1 is all */
    double speed;         /* a running mean of parts a second */
    double part, seconds; /* measured, and not yet divided by; seconds 0: nothing */
    char pad[32];
} fnn_share;

static inline void fnn_share_equally(fnn_share *shares, int size) {
    for (int i = 0; i < size; i++) shares[i] = (fnn_share){.end = (double)(i + 1) / size};
}

/* A new division, from what the threads have measured since the last one. No thread gets less than
 * half of an equal share; one that got no work, or did not measure, drifts back to the mean, so that
 * one that has recovered is seen to. */
static inline void fnn_share_anew(fnn_share *shares, int size) {
    double sum = 0, total = 0, end = 0, mean;
    for (int i = 0; i < size; i++) sum += shares[i].speed;
    mean = sum / size;
    sum = 0;
    for (int i = 0; i < size; i++) {
        fnn_share *s = &shares[i];
        const double speed = s->seconds > 0 ? s->part / s->seconds : mean;
        s->speed += s->speed > 0 ? (speed - s->speed) / 8 : speed;
        s->seconds = 0;
        sum += s->speed;
    }
    if (sum <= 0) return;
    const double least = sum / (2 * size);
    for (int i = 0; i < size; i++) total += shares[i].speed > least ? shares[i].speed : least;
    for (int i = 0; i < size; i++) {
        end += shares[i].speed > least ? shares[i].speed : least;
        shares[i].end = end / total;
    }
}

static inline double fnn_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Rows of so many bytes, `stride` apart in both places, to a post box and out of one; all begin at lines. */
static inline void fnn_send(char *to, const char *from, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t bytes) {
    if (bytes == stride) {
        memcpy(to, from, (size_t)(rows * stride));
        return;
    }
    for (ptrdiff_t r = 0; r < rows; r++) memcpy(to + r * stride, from + r * stride, (size_t)bytes);
}

enum { FNN_LINE = 64 }; /* bytes of a cache's */

/* A line of a post box that was read is written to, with what it holds: the sender's next write then finds it in
 * one cache alone, and modified, which is handed over several times sooner than what two caches hold. */
static inline void fnn_hand_back(char *line) {
    int word;
    memcpy(&word, line, sizeof(word));
    *(volatile int *)line = word;
}

static inline void fnn_fetch(char *to, char *from, ptrdiff_t rows, ptrdiff_t stride, ptrdiff_t bytes) {
    for (ptrdiff_t r = 0; r < rows; r++, to += stride, from += stride) {
        for (ptrdiff_t i = 0; i < bytes; i += FNN_LINE) {
            memcpy(to + i, from + i, (size_t)(bytes - i < FNN_LINE ? bytes - i : FNN_LINE));
            fnn_hand_back(from + i);
        }
    }
}

/* Threads that have had no work for some milliseconds sleep. To wake them takes 0.1 to 0.2 ms, and
 * Linux may wake them on the core of the thread that does it: they share it for two slices of the
 * scheduler, 8 ms, before one is moved to an idle core. */
#define FNN_AWAKE 5e-3 /* seconds; libgomp spins for about as long */

/* Whether a team pays for work that is `work` times the least that one of its threads pays for: it
 * is woken when as much has been done without it as to wake it takes. */
static inline int fnn_team_pays(double work) {
    enum { WAKING = 16 };
    static __thread double last, done;
    const double now = fnn_now();
    if (now - last > FNN_AWAKE) done = 0;
    last = now;
    done += work;
    return done >= WAKING;
}

/* The calling thread's core, or -1 where its team is awake: what fnn_join_team takes. */
static inline int fnn_begin_team(void) {
#ifdef __linux__
    static __thread double last;
    const double now = fnn_now(), before = last;
    last = now;
    return now - before < FNN_AWAKE ? -1 : sched_getcpu();
#else
    return -1;
#endif
}

/* What each thread of a team begins with. The one that woke the others lets them run once, and those
 * that find themselves on its core leave it. */
static inline void fnn_join_team(int core, int tid) {
#ifdef __linux__
    cpu_set_t allowed, others;
    if (core < 0) return;
    if (tid == 0) {
        sched_yield();
    } else if (sched_getcpu() == core && sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        others = allowed;
        CPU_CLR(core, &others);
        if (CPU_COUNT(&others) == 0) return;
        sched_setaffinity(0, sizeof(others), &others);
        sched_setaffinity(0, sizeof(allowed), &allowed);
    }
#else
    (void)core, (void)tid;
#endif
}

static inline void fnn_sleep_us(long us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

#endif
