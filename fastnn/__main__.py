"""`python -m fastnn` is the `fastnn` program."""

from fastnn.cli import main

if __name__ == "__main__":
    main()
