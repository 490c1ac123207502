#pragma once
// Whether the figures of this build are worth anything.

namespace bench {

#if defined(__has_feature)
#define BENCH_HAS_FEATURE(x) __has_feature(x)
#else
#define BENCH_HAS_FEATURE(x) 0
#endif
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    BENCH_HAS_FEATURE(address_sanitizer) || BENCH_HAS_FEATURE(thread_sanitizer)
inline constexpr bool built_for_speed = false;
#else
inline constexpr bool built_for_speed = true;
#endif

}  // namespace bench
