#pragma once

#include <cstddef>
#include <span>

#include "../runtime/task.hpp"
#include "detail/bytes.hpp"
#include "detail/counted_read.hpp"
#include "stream.hpp"

namespace weir {

namespace detail {

template <class S>
concept reads_exactly = requires(S& stream, std::span<std::byte> into) {
  { stream.read_exactly(into) } -> operation;
};

class read_exactly_function {
 public:
  template <read_stream From>
  auto operator()(From& from, std::span<std::byte> into) const {
    if constexpr (reads_exactly<From>) {
      return from.read_exactly(into);
    } else {
      return read_all(from, into);
    }
  }

 private:
  template <class From>
  static task<> read_all(From& from, std::span<std::byte> into) {
    std::size_t done = 0;
    while (done < into.size()) {
      const std::size_t n = co_await from.read_some(behind(into, done));
      if (n == 0) ended_after("read_exactly", name_of(from), done, into.size()).rethrow();
      done += n;
    }
  }
};

}  // namespace detail

/// `read_exactly(from, into)` fills `into` from any read_stream, or fails with weir::errc::end_of_stream
/// ("read_exactly config.bin after 3 of 8 bytes"). The stream's own read_exactly() if it has one, with its promises;
/// otherwise, as with a file, a task: cancelled or failed, part of `into` is filled and how much is not told. Who must
/// go on after that reads through a buffered_reader.
///
/// A function object: it is never found by argument-dependent lookup.
inline constexpr detail::read_exactly_function read_exactly;

}  // namespace weir
