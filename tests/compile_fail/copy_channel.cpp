// expect: channel(const channel&) = delete
#include <weir/sync/channel.hpp>

weir::channel<int> copy(const weir::channel<int>& other) { return other; }
