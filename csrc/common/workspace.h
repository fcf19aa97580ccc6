// Working memory of the threads that run kernels: kept from call to call, because fresh pages cost more than the work
// on them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace cssm {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};

// Grows and is never shrunk; what it held is lost when it grows.
class Workspace {
 public:
  template <class C>
  C* get(int64_t count) {
    const size_t bytes = (size_t(count) * sizeof(C) + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > bytes_) {
      memory_.reset();
      bytes_ = 0;
      memory_.reset(std::aligned_alloc(kAlignment, bytes));
      if (!memory_) throw std::bad_alloc();
      bytes_ = bytes;
    }
    return static_cast<C*>(memory_.get());
  }

 private:
  static constexpr size_t kAlignment = 64;
  std::unique_ptr<void, FreeDeleter> memory_;
  size_t bytes_ = 0;
};

// One set a thread and a purpose.
enum class Purpose { kBlock, kColumn, kMatrix, kPixels, kRows, kTransform, kCount };
Workspace& workspace(Purpose);

}  // namespace cssm
