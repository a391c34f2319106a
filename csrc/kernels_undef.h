/* Ends a use of kernels.def: forgets the meanings its kinds were given. No include guard on purpose. */
#undef FNN_UNARY
#undef FNN_GRAD
#undef FNN_ROWS
#undef FNN_ROWS_GRAD
#undef FNN_GEMM
#undef FNN_PAIR
#undef FNN_FEW
#undef FNN_PACK
#undef FNN_GATHER
#undef FNN_SCALE
#undef FNN_COLSUM
#undef FNN_DROPOUT
#undef FNN_LOSS
#undef FNN_METRIC
#undef FNN_OPTIM
#undef FNN_GRADIENT
#undef FNN_PROBE
