#pragma once

namespace weir::detail {

/// `of` itself, but in a template over T the compiler does not know its type before it knows T. What is done with it
/// there is instantiated for who uses the template, and not in every file that includes it.
template <class T, class Object>
constexpr Object& later(Object& of) noexcept {
  return of;
}

}  // namespace weir::detail
