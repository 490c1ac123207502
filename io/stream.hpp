#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>

#include "../runtime/detail/operation.hpp"

namespace weir {

/// What bytes can be read from, such as tcp_stream, file and buffered_reader: `read_some(std::span<std::byte>)` is an
/// operation (a task will do) that completes with how many were read, at least one, or 0 at the end of the stream. When
/// it is stopped it has taken nothing.
///
/// If there is a `name()`, error sentences use it.
template <class S>
concept read_stream = requires(std::remove_reference_t<S>& stream, std::span<std::byte> into) {
  { stream.read_some(into) } -> detail::operation;
  requires std::same_as<detail::operation_value_t<decltype(stream.read_some(into))>, std::size_t>;
};

/// What bytes can be written to: `write_some(std::span<const std::byte>)` completes with how many were taken, at least
/// one. When it is stopped it has taken nothing.
template <class S>
concept write_stream = requires(std::remove_reference_t<S>& stream, std::span<const std::byte> from) {
  { stream.write_some(from) } -> detail::operation;
  requires std::same_as<detail::operation_value_t<decltype(stream.write_some(from))>, std::size_t>;
};

namespace detail {

/// What error sentences call it.
template <class S>
std::string name_of(const S& stream) {
  if constexpr (requires {
                  { stream.name() } -> std::convertible_to<std::string>;
                }) {
    return stream.name();
  } else {
    return "a stream";
  }
}

}  // namespace detail
}  // namespace weir
