#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "../runtime/async_generator.hpp"
#include "buffered_reader.hpp"
#include "stream.hpp"

namespace weir {

namespace detail {

class lines_function {
 public:
  template <class Stream>
  async_generator<std::string> operator()(buffered_reader<Stream>& reader WEIR_DETAIL_LIFETIMEBOUND) const {
    return each_line(reader);
  }
  template <read_stream Stream>
    requires(!is_buffered_reader<Stream>)
  async_generator<std::string> operator()(Stream& stream WEIR_DETAIL_LIFETIMEBOUND,
                                          buffered_reader_options options = {}) const {
    return each_line_of(buffered_reader<Stream&>(stream, options));
  }
  template <read_stream Stream>
    requires(!std::is_lvalue_reference_v<Stream> && !is_buffered_reader<Stream>)
  async_generator<std::string> operator()(Stream&& stream, buffered_reader_options options = {}) const {
    return each_line_of(buffered_reader<Stream>(std::move(stream), options));
  }
  template <class Stream>
  async_generator<std::string> operator()(buffered_reader<Stream>&& reader) const {
    return each_line_of(std::move(reader));
  }

 private:
  template <class Reader>
  static async_generator<std::string> each_line(Reader& reader) {
    while (auto line = co_await reader.read_line()) co_yield std::move(*line);
  }
  template <class Reader>
  static async_generator<std::string> each_line_of(Reader reader) {
    while (auto line = co_await reader.read_line()) co_yield std::move(*line);
  }
};

}  // namespace detail

/// The lines of a stream, one after another, as read_line() of a buffered_reader delivers them:
///
///     lines(reader)                a buffered_reader, referred to
///     lines(stream)                any other read_stream, referred to
///     lines(std::move(stream))     owned, and closed with the generator; also a buffered_reader
///
/// All but a reader, which has its own, take buffered_reader_options:
///
///     auto log = weir::lines(input, {.bound = 10'000});
///     while (auto line = co_await log.next()) use(*line);
///
/// Returns an async_generator<std::string>; what it refers to must outlive it. Fails as read_line() does, and has ended
/// then, also when a line is longer than the bound.
///
/// Cancelled: the generator has ended. What a reader of its own had read ahead is gone with it; a reader that it refers
/// to has lost nothing, and a new lines(reader) goes on. Allocates its frame, recycled, and what read_line() does.
///
/// A function object: it is never found by argument-dependent lookup.
inline constexpr detail::lines_function lines;

}  // namespace weir
