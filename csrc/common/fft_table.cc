#include "common/fft_table.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace cssm {
namespace {

using Complex = std::complex<double>;

// Above this a convolution costs less than the n^2 multiply-adds of a direct transform.
constexpr int64_t kLargestDirectPrime = 97;

// exp(-2 pi i numerator / denominator), the angle reduced before it is rounded.
Complex root(int64_t numerator, int64_t denominator) {
  return std::polar(1.0, -2 * M_PI * double(numerator % denominator) / double(denominator));
}

// Powers of two in radices of 8 and 16, which keep a transform's values in registers; then the odd primes.
std::vector<int64_t> factors(int64_t n) {
  std::vector<int64_t> radices;
  int64_t twos = 0;
  for (; n % 2 == 0; n /= 2) ++twos;
  for (int64_t prime = 3; n > 1; prime += 2) {
    for (; n % prime == 0; n /= prime) radices.push_back(prime);
    if (prime * prime > n && n > 1) prime = n - 2;
  }
  if (twos == 4 && radices.empty()) return {4, 4};
  if (twos % 3 == 1 && twos > 1) {
    radices.push_back(16);
    twos -= 4;
  } else if (twos == 8) {
    radices.push_back(16);
    radices.push_back(16);
    twos = 0;
  } else if (twos % 3 != 0) {
    radices.insert(radices.begin(), int64_t{1} << twos % 3);
  }
  for (; twos >= 3; twos -= 3) radices.push_back(8);
  return radices;
}

bool is_smooth(int64_t n) {
  for (const int64_t prime : {2, 3, 5, 7}) {
    while (n % prime == 0) n /= prime;
  }
  return n == 1;
}

template <class C>
void append(std::vector<C>& to, Complex value) {
  to.push_back(C(value.real()));
  to.push_back(C(value.imag()));
}

// A table with the storage that it points into.
template <class C>
struct StoredTable {
  FftTable<C> table{};
  std::vector<FftPass<C>> passes;
  std::vector<std::vector<C>> constants;

  const C* keep(std::vector<C> values) {
    constants.push_back(std::move(values));
    return constants.back().data();
  }
};

template <class C>
void make_passes(StoredTable<C>& stored, std::vector<int64_t> radices) {
  while (radices.size() < 2) radices.push_back(1);
  FftTable<C>& table = stored.table;
  int64_t length = table.n, stride = 1, largest = 1;
  for (const int64_t radix : radices) {
    FftPass<C> pass{radix, length / radix, stride, nullptr, nullptr};
    std::vector<C> twiddles, roots;
    for (int64_t p = 0; p < pass.groups; ++p) {
      for (int64_t k = 1; k < radix; ++k) append(twiddles, root(p * k, length));
    }
    for (int64_t j = 0; j < radix; ++j) append(roots, std::conj(root(j, radix)));
    pass.twiddles = stored.keep(std::move(twiddles));
    pass.roots = stored.keep(std::move(roots));
    stored.passes.push_back(pass);
    length /= radix;
    stride *= radix;
    largest = std::max(largest, radix);
  }
  table.passes = stored.passes.data();
  table.num_passes = int64_t(stored.passes.size());
  table.scratch = 2 * table.n + largest;
}

std::vector<Complex> transform(const std::vector<Complex>& x) {
  const int64_t n = int64_t(x.size());
  std::vector<Complex> roots(n), out(n);
  for (int64_t j = 0; j < n; ++j) roots[j] = root(j, n);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t j = 0; j < n; ++j) out[k] += x[j] * roots[j * k % n];
  }
  return out;
}

template <class C>
void make_convolution(StoredTable<C>& stored) {
  FftTable<C>& table = stored.table;
  const int64_t n = table.n;
  int64_t m = 2 * n - 1;
  while (!is_smooth(m)) ++m;
  table.convolution = &fft_table<C>(m);
  std::vector<Complex> filter(m);
  std::vector<C> chirp, spectrum;
  for (int64_t j = 0; j < n; ++j) {
    const Complex value = root(j * j, 2 * n);
    append(chirp, value);
    filter[j] = std::conj(value) / double(m);
    if (j > 0) filter[m - j] = filter[j];
  }
  for (const Complex value : transform(filter)) append(spectrum, value);
  table.chirp = stored.keep(std::move(chirp));
  table.filter = stored.keep(std::move(spectrum));
  table.scratch = m + table.convolution->scratch;
}

template <class C>
std::unique_ptr<StoredTable<C>> make_table(int64_t n) {
  auto stored = std::make_unique<StoredTable<C>>();
  stored->table.n = n;
  const std::vector<int64_t> radices = factors(n);
  if (radices.empty() || *std::max_element(radices.begin(), radices.end()) <= kLargestDirectPrime) {
    make_passes(*stored, radices);
  } else {
    make_convolution(*stored);
  }
  return stored;
}

}  // namespace

template <class C>
const FftTable<C>& fft_table(int64_t n) {
  static std::recursive_mutex mutex;  // a convolution asks for the table of another length
  static auto& tables = *new std::map<int64_t, std::unique_ptr<StoredTable<C>>>;
  std::lock_guard<std::recursive_mutex> lock(mutex);
  std::unique_ptr<StoredTable<C>>& stored = tables[n];
  if (!stored) stored = make_table<C>(n);
  return stored->table;
}

template const FftTable<float>& fft_table(int64_t);
template const FftTable<double>& fft_table(int64_t);

}  // namespace cssm
