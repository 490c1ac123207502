// expect: nodiscard
#include <weir/sync/channel.hpp>
#include <weir/sync/select.hpp>

void start(weir::channel<int>& a, weir::channel<int>& b) { weir::select(a.receive(), b.receive()); }
