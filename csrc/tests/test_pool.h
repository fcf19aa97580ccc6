// A plain thread pool. Its destructor runs what is still queued.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/threads.h"

namespace cssm::testing {

class TestPool final : public ThreadPool {
 public:
  explicit TestPool(int64_t threads) {
    for (int64_t i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~TestPool() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int64_t num_threads() override { return int64_t(workers_.size()); }

  void schedule(std::function<void()> task) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
      ++scheduled_;
    }
    changed_.notify_one();
  }

  int64_t scheduled() {
    std::lock_guard<std::mutex> lock(mutex_);
    return scheduled_;
  }

 private:
  void work() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  int64_t scheduled_ = 0;
  bool closing_ = false;
  std::vector<std::thread> workers_;  // last: the workers use the rest
};

}  // namespace cssm::testing
