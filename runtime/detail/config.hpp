#pragma once

// What every header of weir stands on: the compiler gate and a few attributes.

#if __cplusplus < 202002L
#error "weir needs C++20: compile with -std=c++20 or newer"
#endif

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#if !defined(WEIR_ALLOW_GCC12)
#error \
    "g++ older than 13 silently miscompiles coroutines (bodies are skipped, temporaries beside co_await are destroyed twice). Use clang++-19 (Debian 12 has it) or g++ 13; docs/compilers.md lists what to avoid if you define WEIR_ALLOW_GCC12 all the same."
#endif
#define WEIR_DETAIL_FRAGILE_TEMPORARIES 1
#else
#define WEIR_DETAIL_FRAGILE_TEMPORARIES 0
#endif

#if defined(__clang__)
#define WEIR_DETAIL_LIFETIMEBOUND [[clang::lifetimebound]]
// Clang turns symmetric transfer into a tail call at every optimisation level.
#define WEIR_DETAIL_TAIL_CALLS 1
#else
#define WEIR_DETAIL_LIFETIMEBOUND
#define WEIR_DETAIL_TAIL_CALLS 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_DETAIL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_DETAIL_ASAN 1
#endif
#endif
#if !defined(WEIR_DETAIL_ASAN)
#define WEIR_DETAIL_ASAN 0
#endif

#include <type_traits>

namespace weir::detail {

/// g++ 12 destroys a temporary callable beside co_await twice: there, only callables whose destruction does nothing may
/// be passed as temporaries. Everything else must be named first and passed by name.
template <class F>
inline constexpr bool safe_callable_argument =
    !WEIR_DETAIL_FRAGILE_TEMPORARIES || std::is_lvalue_reference_v<F> || std::is_trivially_destructible_v<F>;

/// What options are (docs: "aggregates with defaults"), asked of the compiler itself: the trait of the standard library
/// would be instantiated for each of them in every file that includes weir.
template <class T>
inline constexpr bool trivially_destructible =
#if defined(__clang__)
    __is_trivially_destructible(T);
#else
    std::is_trivially_destructible_v<T>;
#endif

/// Ends the program with a sentence: for broken invariants that no caller could handle.
[[noreturn]] void fatal(const char* sentence) noexcept;

}  // namespace weir::detail

#define WEIR_DETAIL_REQUIRE_NAMED(F)                                                                        \
  static_assert(::weir::detail::safe_callable_argument<F>,                                                  \
                "g++ 12 destroys this temporary callable twice: name it first, then pass the name (or use " \
                "clang++-19 or g++ 13)")

#if defined(NDEBUG)
#define WEIR_DETAIL_ASSERT(condition, sentence) static_cast<void>(0)
#else
#define WEIR_DETAIL_ASSERT(condition, sentence) \
  ((condition) ? static_cast<void>(0) : ::weir::detail::fatal("weir: " sentence))
#endif
