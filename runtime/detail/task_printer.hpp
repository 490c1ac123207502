#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>
#include <source_location>
#include <string>
#include <vector>

#include "promise_base.hpp"
#include "stop_state.hpp"

namespace weir::detail {

/// A location as one pointer, for who may read it at any time: it points to what the compiler keeps of it.
inline const void* address_of(const std::source_location& at) noexcept { return std::bit_cast<const void*>(at); }
inline std::source_location location_at(const void* address) noexcept {
  return std::bit_cast<std::source_location>(address);
}

/// The strand that a suspended or running frame belongs to. O(the frames between).
const strand& strand_of(const promise_base& frame) noexcept;

/// Writes down what strands wait for.
class task_printer final : public wait_visitor {
 public:
  task_printer() = default;
  /// With ages, as seen at `tick`, of which `per_second` make a second.
  explicit task_printer(std::uint32_t tick) noexcept : tick_(tick), with_ages_(true) {}

  /// This frame is ready to run: it tells of its strand what nothing that waits can.
  void ready(const promise_base& frame);

  void waits(const leaf& in) override;
  void shielded(const promise_base& frame) override;
  void body_elsewhere(const promise_base* frame) override;
  void child(const strand& of_group) override;

  [[nodiscard]] int tasks() const noexcept { return tasks_; }
  /// At the end: all of it, with the numbers of those who hold what others wait for. O(its length).
  [[nodiscard]] std::string text() const;

 private:
  void begin(const char* what);
  void stack(const promise_base* frame);
  /// The task that was begun last has this frame, and those that wait for it to return.
  void note_frames(const promise_base* frame);

  std::uint32_t tick_ = 0;
  bool with_ages_ = false;
  int tasks_ = 0;
  unsigned depth_ = 0;
  const strand* in_ = nullptr;  // the strand that is looked at, until something has been written of it
  std::string text_;
  std::map<const boundary*, const promise_base*> ready_;  // by strand
  std::map<const void*, int> frames_;                     // which task each frame belongs to
  struct held {
    std::size_t at;     // in text_: behind what is waited for
    const void* frame;  // that holds it
  };
  std::vector<held> held_;
};

}  // namespace weir::detail
