// Running independent tasks on somebody else's thread pool.
#pragma once

#include <cstdint>
#include <functional>

namespace cssm {

class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  virtual int64_t num_threads() = 0;
  virtual void schedule(std::function<void()> task) = 0;
};

// Calls body(i) for 0 <= i < n, on the caller and on the pool, and returns when all are done. The caller takes tasks
// too and waits only for those already started, so a pool whose threads are all blocked cannot deadlock it. Denormals
// are flushed to zero in every task, as on XLA's own threads, so a result does not depend on which thread computed it.
// An exception thrown by a task is rethrown here once all tasks are done.
void parallel_for(ThreadPool& pool, int64_t n, const std::function<void(int64_t)>& body);

}  // namespace cssm
