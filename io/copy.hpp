#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "../runtime/task.hpp"
#include "buffered_reader.hpp"
#include "detail/buffered_write.hpp"
#include "stream.hpp"

namespace weir {

struct copy_options {
  /// How much is held between reading and writing, at most.
  std::size_t buffer = 65'536;
};
static_assert(std::is_trivially_destructible_v<copy_options>);

namespace detail {

class copy_function {
 public:
  template <read_stream From, write_stream To>
  task<std::uint64_t> operator()(From& from, To& to, copy_options options = {}) const {
    if constexpr (is_buffered_reader<From>) {
      return move_all(from, to);
    } else {
      return through_buffer(from, to, options);
    }
  }

 private:
  template <class Reader, class To>
  static task<std::uint64_t> move_all(Reader& reader, To& to) {
    std::uint64_t total = 0;
    for (;;) {
      const std::span<const std::byte> part = co_await reader.peek();
      if (part.empty()) co_return total;
      const std::size_t n = co_await to.write_some(part);
      if (n == 0) fail_stuck(name_of(to));
      reader.consume(n);
      total += n;
    }
  }
  template <class From, class To>
  static task<std::uint64_t> through_buffer(From& from, To& to, copy_options options) {
    buffered_reader<From&> reader(from, {.buffer = options.buffer});
    co_return co_await move_all(reader, to);
  }
};

}  // namespace detail

/// `copy(from, to)` reads `from` to its end and writes all of it to `to`: any read_stream, any write_stream, both
/// referred to until the task has ended. Completes with the number of bytes, as a std::uint64_t. It neither flushes a
/// buffered_writer, nor shuts down or closes anything.
///
/// Cancelled, or failed on either side: what was read and not yet written, at most options.buffer, is lost; from a
/// buffered_reader it is not, and a second copy() goes on where the first one ended. Reading waits for writing: a slow
/// `to` holds up `from`. Allocates two recycled frames and a buffer that begins with 4 KiB.
///
/// A function object: it is never found by argument-dependent lookup.
inline constexpr detail::copy_function copy;

}  // namespace weir
