#include "tls_kernel.hpp"

#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "simulated_kernel.hpp"
#include "system_calls.hpp"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

namespace weir::detail::tls_kernel {

namespace {

constexpr int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT;

/// 0: none that is known here.
unsigned size_of_keys(const tls_crypto_info& keys) noexcept {
  if (keys.version != TLS_1_2_VERSION && keys.version != TLS_1_3_VERSION) return 0;
  switch (keys.cipher_type) {
    case TLS_CIPHER_AES_GCM_128:
      return sizeof(tls12_crypto_info_aes_gcm_128);
    case TLS_CIPHER_AES_GCM_256:
      return sizeof(tls12_crypto_info_aes_gcm_256);
    case TLS_CIPHER_AES_CCM_128:
      return sizeof(tls12_crypto_info_aes_ccm_128);
    case TLS_CIPHER_CHACHA20_POLY1305:
      return sizeof(tls12_crypto_info_chacha20_poly1305);
    default:
      return 0;
  }
}

template <class Call>
int without_interruption(Call call) noexcept {
  for (;;) {
    const int result = system_calls::outcome(call());
    if (result != -EINTR) return result;
  }
}

}  // namespace

constinit std::atomic<bool> absent{false};

int send_plain(int number, std::span<const std::byte> bytes) noexcept {
  if (simulated_kernel::is_simulated(number)) return -ENOTSUP;
  return without_interruption([&] { return ::send(number, bytes.data(), bytes.size(), send_flags); });
}

int prepare(int number) noexcept {
  if (simulated_kernel::is_simulated(number)) return -ENOTSUP;
  if (absent.load(std::memory_order_relaxed)) return -ENOENT;
  static constexpr char name[] = "tls";
  const int result = system_calls::set_socket_option(number, IPPROTO_TCP, TCP_ULP, name, sizeof name - 1);
  if (result == -ENOENT) absent.store(true, std::memory_order_relaxed);
  return result == -EEXIST ? 0 : result;
}

int give_keys(int number, const void* keys) noexcept {
  if (simulated_kernel::is_simulated(number)) return -ENOTSUP;
  tls_crypto_info first{};
  std::memcpy(&first, keys, sizeof first);
  const unsigned size = size_of_keys(first);
  if (size == 0) return -EINVAL;
  return system_calls::set_socket_option(number, SOL_TLS, TLS_TX, keys, size);
}

int send_message(int number, content type, std::span<const std::byte> bytes) noexcept {
  if (simulated_kernel::is_simulated(number)) return -ENOTSUP;
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof type)]{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_TLS;
  header->cmsg_type = TLS_SET_RECORD_TYPE;
  header->cmsg_len = CMSG_LEN(sizeof type);
  std::memcpy(CMSG_DATA(header), &type, sizeof type);
  return without_interruption([&] { return ::sendmsg(number, &message, send_flags); });
}

}  // namespace weir::detail::tls_kernel
