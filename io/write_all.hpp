#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "../runtime/task.hpp"
#include "detail/buffered_write.hpp"
#include "detail/bytes.hpp"
#include "stream.hpp"

namespace weir {

namespace detail {

template <class S>
concept writes_all = requires(S& stream, std::span<const std::byte> from) {
  { stream.write_all(from) } -> operation;
};

class write_all_function {
 public:
  template <write_stream To>
  auto operator()(To& to, std::span<const std::byte> from) const {
    if constexpr (writes_all<To>) {
      return to.write_all(from);
    } else {
      return write_rest(to, from);
    }
  }
  template <write_stream To>
  auto operator()(To& to, std::string_view from) const {
    return (*this)(to, bytes_of(from));
  }

 private:
  template <class To>
  static task<> write_rest(To& to, std::span<const std::byte> from) {
    std::size_t done = 0;
    while (done < from.size()) {
      const std::size_t n = co_await to.write_some(behind(from, done));
      if (n == 0) fail_stuck(name_of(to));
      done += n;
    }
  }
};

}  // namespace detail

/// `write_all(to, from)` writes all of `from`, bytes or text, to any write_stream. The stream's own write_all() if it
/// has one, with its promises; otherwise a task: cancelled or failed, part of it is written and how much is not told.
/// Who must go on after that writes through a buffered_writer.
///
/// A function object: it is never found by argument-dependent lookup.
inline constexpr detail::write_all_function write_all;

}  // namespace weir
