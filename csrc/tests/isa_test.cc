// select_isa: the best set by default, a lesser one on demand, an error for any other name.
#include "common/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "check.h"
#include "kernel_tables.h"

namespace cssm::testing {
namespace {

void the_best_by_default() {
  unsetenv("CSSM_KERNELS_ISA");
  expect(isa_name(select_isa()) == machine_tables().front().name, "the best set is not the default");
}

void any_on_demand() {
  for (const KernelTable& table : machine_tables()) {
    setenv("CSSM_KERNELS_ISA", table.name.c_str(), 1);
    if (isa_name(select_isa()) != table.name) fail("CSSM_KERNELS_ISA=" + table.name + " was not followed");
  }
}

void no_other() {
  for (const char* name : {"", "avx", "AVX2", "avx512 ", "unknown"}) {
    setenv("CSSM_KERNELS_ISA", name, 1);
    try {
      select_isa();
      fail("CSSM_KERNELS_ISA=\"" + std::string(name) + "\" was accepted");
    } catch (const std::runtime_error& error) {
      const std::string message = error.what();
      expect(message.find("\"" + std::string(name) + "\"") != std::string::npos, "the message does not name what came");
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("the best by default", the_best_by_default);
  test("any on demand", any_on_demand);
  test("no other", no_other);
  return exit_status();
}
