// CUDA kernels that the tests compile with `nvcc -ptx`.
#include <cassert>

extern "C" __global__ void transpose(const float* x, float* out, int rows, int columns) {
  __shared__ float tile[32][33];
  int column = blockIdx.x * 32 + threadIdx.x;
  for (int i = threadIdx.y; i < 32; i += blockDim.y) {
    int row = blockIdx.y * 32 + i;
    if (row < rows && column < columns) tile[i][threadIdx.x] = x[row * columns + column];
  }
#ifndef NO_BARRIER
  __syncthreads();
#endif
  int row = blockIdx.y * 32 + threadIdx.x;
  for (int i = threadIdx.y; i < 32; i += blockDim.y) {
    int to = blockIdx.x * 32 + i;
    if (row < rows && to < columns) out[to * rows + row] = tile[threadIdx.x][i];
  }
}

// h_t = a_t h_{t-1} + x_t of one warp's 32 steps, by shuffles.
extern "C" __global__ void warp_scan(const float2* ax, float* h) {
#ifdef EARLY_RETURN
  if (threadIdx.x == 7) return;
#endif
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float a = ax[i].x, x = ax[i].y;
  for (int offset = 1; offset < 32; offset *= 2) {
    float a_before = __shfl_up_sync(0xffffffffu, a, offset);
    float x_before = __shfl_up_sync(0xffffffffu, x, offset);
    if ((threadIdx.x & 31) >= offset) {
      x += a * x_before;
      a *= a_before;
    }
  }
  h[i] = x;
}

extern "C" __global__ void copy4(const float4* x, float4* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = x[i];
}

struct Arguments {
  const double* x;
  double* out;
  int n;
  double scale;
};

template <int kPower>
__device__ void power_of(Arguments args) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= args.n) return;
  double product = args.scale;
  for (int k = 0; k < kPower; ++k) product *= args.x[i];
  args.out[i] = product;
}

extern "C" __global__ void cube(Arguments args) { power_of<3>(args); }
extern "C" __global__ void square(Arguments args) { power_of<2>(args); }

// Sines and cosines with their slow paths: local arrays, carry chains and a function that is called.
extern "C" __global__ void functions(const double* x, double* out, const float* y, float* out32, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  out[i] = sin(x[i]) + sqrt(fabs(x[i])) / 3.0;
  out32[i] = cosf(y[i]) + expf(-fabsf(y[i])) / (1.0f + y[i] * y[i]);
}

__device__ __noinline__ float horner(float x, int n) {
  float sum = 0;
  for (int k = 0; k < n; ++k) sum = sum * x + 1;
  return sum;
}

extern "C" __global__ void called(float* x, int n) {
  assert(n < 100);
  x[threadIdx.x] = horner(x[threadIdx.x], n + (threadIdx.x & 3));
}

extern "C" __global__ void block_sum(const float* x, float* out, int n) {
  extern __shared__ float partial[];
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) atomicAdd(out, partial[0]);
}
