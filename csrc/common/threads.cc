#include "common/threads.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cssm {
namespace {

class FlushDenormals {
 public:
#if defined(__x86_64__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // FTZ | DAZ
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" : : "r"(saved_ | (uint64_t{1} << 24)));  // FZ
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }

 private:
  uint64_t saved_;
#else
  FlushDenormals() {}
#endif
};

constexpr int kLooks = 4000;  // some 50 microseconds

inline void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  Job(int64_t n, const std::function<void(int64_t)>& body) : n(n), body(&body) {}

  // Claims tasks until none is left. `body` is touched only under a claim, while the caller still waits.
  void work() {
    FlushDenormals flush;
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) {
      try {
        (*body)(i);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        if (!error) error = std::current_exception();
      }
      if (finished.fetch_add(1, std::memory_order_acq_rel) + 1 == n) {
        std::lock_guard<std::mutex> lock(mutex);
        done = true;
        all_done.notify_one();
      }
    }
  }

  void wait() {
    // To be woken takes longer than most tasks: first look for a while whether those still running end by themselves.
    for (int look = 0; look < kLooks && finished.load(std::memory_order_acquire) < n; ++look) relax();
    std::unique_lock<std::mutex> lock(mutex);
    all_done.wait(lock, [this] { return done; });
    if (error) std::rethrow_exception(error);
  }

  const int64_t n;
  const std::function<void(int64_t)>* body;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> finished{0};
  std::mutex mutex;
  std::condition_variable all_done;
  std::exception_ptr error;  // the first one thrown by a task
  bool done = false;
};

}  // namespace

void parallel_for(ThreadPool& pool, int64_t n, const std::function<void(int64_t)>& body) {
  if (n <= 0) return;
  if (n == 1) {
    FlushDenormals flush;
    body(0);
    return;
  }
  auto job = std::make_shared<Job>(n, body);
  const int64_t helpers = std::min<int64_t>(pool.num_threads() - 1, n - 1);
  for (int64_t i = 0; i < helpers; ++i) {
    pool.schedule([job] { job->work(); });
  }
  job->work();
  job->wait();
}

}  // namespace cssm
