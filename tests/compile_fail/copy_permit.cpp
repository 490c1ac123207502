// expect: deleted
#include <weir/sync/channel.hpp>

weir::send_permit<int> copy(const weir::send_permit<int>& other) { return other; }
