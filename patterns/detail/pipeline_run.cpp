#include "pipeline_run.hpp"

namespace weir::detail {

pipeline_run::~pipeline_run() {
  while (first_) {
    kept* const gone = first_;
    first_ = gone->next;
    delete gone;
  }
}

void pipeline_run::spawn(task<> work) { static_cast<void>(group_->spawn(std::move(work))); }

void pipeline_run::append(kept& made) noexcept {
  *end_ = &made;
  end_ = &made.next;
}

}  // namespace weir::detail
