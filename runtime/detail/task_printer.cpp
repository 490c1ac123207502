#include "task_printer.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>

#include "group_core.hpp"

namespace weir::detail {

namespace {

const promise_base* outwards(const promise_base& frame) noexcept {
  return frame.scope ? frame.scope->frame : frame.awaiter;
}

}  // namespace

const strand& strand_of(const promise_base& frame) noexcept {
  const promise_base* at = &frame;
  while (const promise_base* next = outwards(*at)) at = next;
  return static_cast<const strand&>(*at->scope);
}

void task_printer::ready(const promise_base& frame) { ready_[&strand_of(frame)] = &frame; }

void task_printer::begin(const char* what) {
  const std::string indent(std::size_t{2} * depth_, ' ');
  fmt::format_to(std::back_inserter(text_), "{}task {} {}", indent, ++tasks_, what);
}

void task_printer::stack(const promise_base* frame) {
  const std::string indent(std::size_t{2} * depth_ + 2, ' ');
  note_frames(frame);
  for (; frame; frame = outwards(*frame)) {
    const std::source_location& at = frame->awaiting_at;
    fmt::format_to(std::back_inserter(text_), "{}{} at {}:{}\n", indent, at.function_name(), at.file_name(), at.line());
  }
  if (in_ && in_->spawned_at.line() != 0) {
    const std::source_location& at = in_->spawned_at;
    fmt::format_to(std::back_inserter(text_), "{}spawned at {}:{}\n", indent, at.file_name(), at.line());
  }
  in_ = nullptr;
}

void task_printer::note_frames(const promise_base* frame) {
  for (; frame; frame = outwards(*frame)) frames_[frame] = tasks_;
}

void task_printer::waits(const leaf& in) {
  begin("waits in ");
  text_ += in.describe();
  if (const void* frame = in.held_by()) held_.push_back({text_.size(), frame});
  if (with_ages_) {
    fmt::format_to(std::back_inserter(text_), " for {:.3f} s", (tick_ - in.frame().waiting_since) / 1000.0);
  }
  text_ += ":\n";
  stack(&in.frame());
}

void task_printer::shielded(const promise_base& frame) {
  begin("waits in a shielded section:\n");
  stack(&frame);
}

void task_printer::body_elsewhere(const promise_base* frame) {
  if (!in_) return;  // the body of a group inside when_all: its own strand tells
  const auto found = ready_.find(in_);
  const bool is_ready = found != ready_.end();
  begin(is_ready ? "is ready to run:\n" : "is running, or waits for its children:\n");
  note_frames(frame);
  stack(is_ready ? found->second : nullptr);
}

void task_printer::child(const strand& of_group) {
  const int before = tasks_;
  ++depth_;
  in_ = &of_group;
  if (const stoppable* inside = of_group.state().inner()) inside->visit(*this);
  if (tasks_ == before) {
    in_ = &of_group;
    const auto found = ready_.find(&of_group);
    begin(found != ready_.end() ? "is ready to run:\n" : "is running, or stopping:\n");
    stack(found != ready_.end() ? found->second : nullptr);
  }
  in_ = nullptr;
  --depth_;
}

std::string task_printer::text() const {
  std::string all;
  std::size_t taken = 0;
  for (const held& one : held_) {
    const auto found = frames_.find(one.frame);
    if (found == frames_.end()) continue;
    all.append(text_, taken, one.at - taken);
    taken = one.at;
    fmt::format_to(std::back_inserter(all), " (held by task {})", found->second);
  }
  all.append(text_, taken);
  return all;
}

}  // namespace weir::detail
