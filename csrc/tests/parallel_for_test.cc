// parallel_for: every index once, whatever the pool does, and nothing of the call touched once it has returned.
#include <atomic>
#include <future>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "common/threads.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

// Plain ints: ThreadSanitizer reports an index taken twice, or a result read before it is finished. Yielding lets other
// calls, and other threads of this one, come in between.
void expect_each_once(ThreadPool& pool, int64_t n, bool yields = false) {
  std::vector<int> visits(size_t(n), 0);
  parallel_for(pool, n, [&](int64_t i) {
    if (yields) std::this_thread::yield();
    ++visits[size_t(i)];
  });
  for (int count : visits) {
    if (count != 1) return fail("a task ran " + std::to_string(count) + " times; expected once");
  }
}

void thousand_calls_at_once() {
  constexpr int kCallers = 20, kCalls = 50;
  TestPool pool(3);
  std::promise<void> started;
  const std::shared_future<void> start = started.get_future().share();
  std::vector<std::thread> callers;
  callers.reserve(kCallers);
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&pool, start, caller] {
      start.wait();
      for (int call = 0; call < kCalls; ++call) expect_each_once(pool, (caller * 7 + call) % 40, call % 2 == 0);
    });
  }
  started.set_value();
  for (std::thread& caller : callers) caller.join();
}

// The first two tasks wait for each other, so that two threads race for the rest.
void many_short_tasks() {
  constexpr int64_t kTasks = 50000;
  TestPool pool(2);
  for (int call = 0; call < 10; ++call) {
    std::atomic<int> arrived{0};
    std::vector<int> visits(kTasks, 0);
    parallel_for(pool, kTasks, [&](int64_t i) {
      ++visits[size_t(i)];
      if (i >= 2) return;
      ++arrived;
      while (arrived < 2) std::this_thread::yield();
    });
    expect(visits == std::vector<int>(kTasks, 1), "a short task did not run exactly once");
  }
}

void calls_within_calls() {
  TestPool pool(3);
  std::atomic<int> inner{0};
  parallel_for(pool, 10, [&](int64_t) { parallel_for(pool, 10, [&](int64_t) { ++inner; }); });
  expect(inner == 100, "a call within a call lost tasks");
}

// The caller does everything itself, and what it leaves in the queue finds nothing to do long after the call's data is
// gone.
void blocked_pool() {
  TestPool pool(3);
  std::promise<void> opened;
  const std::shared_future<void> gate = opened.get_future().share();
  for (int64_t i = 0; i < pool.num_threads(); ++i) {
    pool.schedule([gate] { gate.wait(); });
  }
  for (int64_t n : {2, 3, 50}) expect_each_once(pool, n);
  expect(pool.scheduled() > pool.num_threads(), "no help was asked of the pool");
  opened.set_value();
}

void pool_of_one() {
  TestPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  bool elsewhere = false;
  parallel_for(pool, 20, [&](int64_t) { elsewhere |= std::this_thread::get_id() != caller; });
  expect(!elsewhere && pool.scheduled() == 0, "the only thread's share was given away");
}

void nothing_to_do() {
  TestPool pool(2);
  for (int64_t n : {0, -1}) parallel_for(pool, n, [](int64_t) { fail("a task ran; expected none"); });
  expect_each_once(pool, 1);
}

// The second task is held until a pool's thread has taken the first, or the other way round.
void pool_shares_the_work() {
  TestPool pool(2);
  std::atomic<int> arrived{0};
  std::thread::id ids[2];
  parallel_for(pool, 2, [&](int64_t i) {
    ids[i] = std::this_thread::get_id();
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  expect(ids[0] != ids[1], "two tasks at once ran on one thread");
}

double halved(double value) {
  volatile double denormal = value;
  return denormal * 0.5;
}

void denormals_are_flushed_in_tasks_only() {
#if defined(__x86_64__) || defined(__aarch64__)
  constexpr double kSmallest = std::numeric_limits<double>::denorm_min() * 8;
  for (int64_t n : {1, 8}) {
    TestPool pool(2);
    std::vector<double> results(size_t(n), -1);
    parallel_for(pool, n, [&](int64_t i) { results[size_t(i)] = halved(kSmallest); });
    for (double result : results) expect(result == 0, "a denormal was not flushed to zero in a task");
    expect(halved(kSmallest) > 0, "the caller's handling of denormals was changed");
  }
#endif
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("1,000 calls at once", thousand_calls_at_once);
  test("many short tasks", many_short_tasks);
  test("calls within calls", calls_within_calls);
  test("blocked pool", blocked_pool);
  test("pool of one", pool_of_one);
  test("nothing to do", nothing_to_do);
  test("pool shares the work", pool_shares_the_work);
  test("denormals are flushed in tasks only", denormals_are_flushed_in_tasks_only);
  return exit_status();
}
