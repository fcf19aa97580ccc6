// Just enough of a test framework: checks that go on after a failure, named tests, an exit status.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>

namespace cssm::testing {

inline std::atomic<int> failures{0};

// Call it only on failure where building `what` is not free.
inline void fail(const std::string& what, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  constexpr int kShown = 20;
  const int earlier = failures.fetch_add(1);
  if (earlier < kShown) std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  if (earlier == kShown) std::fprintf(stderr, "(further failures not shown)\n");
}

inline void expect(bool ok, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!ok) fail(what, file, line);
}

template <class Body>
void test(const char* name, Body&& body) {
  const int before = failures;
  const auto start = std::chrono::steady_clock::now();
  body();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%s %s (%.2f s)\n", failures == before ? "ok    " : "FAILED", name, seconds.count());
  std::fflush(stdout);
}

inline int exit_status() { return failures == 0 ? 0 : 1; }

}  // namespace cssm::testing
