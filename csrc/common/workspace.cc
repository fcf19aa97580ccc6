#include "common/workspace.h"

namespace cssm {

Workspace& workspace(Purpose purpose) {
  thread_local Workspace workspaces[int(Purpose::kCount)];
  return workspaces[int(purpose)];
}

}  // namespace cssm
