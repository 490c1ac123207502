#include "tls_engine.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../../runtime/detail/config.hpp"
#include "descriptor.hpp"
#include "held_end.hpp"
#include "read_buffer.hpp"
#include "tls_kernel.hpp"
#include "tls_openssl_impl.hpp"

namespace weir::detail {

namespace {

constexpr std::size_t most_kept = 32'768;  // of input; of output, before one more record is taken

/// What was encrypted and not sent. Two pieces: one that is being sent, which must stay where it is, and one that
/// grows.
class output_buffer {
 public:
  /// False: there is too much already. One record, of 17 KiB at most, fits while there is not.
  bool append(std::span<const std::byte> record) {
    if (growing_.size() >= most_kept) return false;
    growing_.insert(growing_.end(), record.begin(), record.end());
    return true;
  }
  std::span<const std::byte> next() noexcept {
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      std::swap(sending_, growing_);
    }
    return std::span<const std::byte>(sending_).subspan(sent_);
  }
  void taken(std::size_t n) noexcept {
    sent_ += n;
    if (sent_ != sending_.size()) return;
    sending_.clear();
    sent_ = 0;
    // The larger memory is for what comes next, so that there are not two of them.
    if (growing_.empty()) std::swap(sending_, growing_);
  }

 private:
  std::vector<std::byte> sending_;
  std::size_t sent_ = 0;
  std::vector<std::byte> growing_;
};

/// What OpenSSL says by itself while the kernel encrypts: messages, each of its type.
class message_queue {
 public:
  struct message {
    tls_kernel::content type;
    std::vector<std::byte> bytes;
  };

  /// False: as output_buffer's.
  bool append(tls_kernel::content type, std::span<const std::byte> bytes) {
    if (size_ >= most_kept) return false;
    messages_.push_back({type, std::vector<std::byte>(bytes.begin(), bytes.end())});
    size_ += bytes.size();
    return true;
  }
  [[nodiscard]] bool empty() const noexcept { return messages_.empty(); }
  [[nodiscard]] tls_kernel::content type() const noexcept { return messages_.front().type; }
  [[nodiscard]] std::span<const std::byte> next() const noexcept {
    return std::span<const std::byte>(messages_.front().bytes).subspan(sent_);
  }
  void taken(std::size_t n) noexcept {
    sent_ += n;
    size_ -= n;
    if (sent_ != messages_.front().bytes.size()) return;
    messages_.pop_front();
    sent_ = 0;
  }

 private:
  std::deque<message> messages_;
  std::size_t size_ = 0;
  std::size_t sent_ = 0;  // of the first
};

/// Between OpenSSL and an engine.
struct tls_buffers {
  read_buffer input{most_kept};
  output_buffer output;
  // With a kernel that encrypts:
  int socket = -1;  // during a step of the handshake, if it may be given the keys
  bool kernel_sends = false;
  tls_kernel::content type = tls_kernel::content::data;  // of what OpenSSL writes next
  message_queue messages;
  std::string why_not_kernel;
};

// ---- OpenSSL's side of kernel TLS
//
// OpenSSL talks to its transport about it by controls of the BIO, which its own BIO of a socket answers, and so can we.
// They are not in its headers but for a comment in <openssl/bio.h>; these numbers are the same from 3.0 on. A libssl
// with others would never be told that the kernel encrypts.

constexpr int control_set_keys = 72;  // number: not 0 for sending; pointer: as for tls_kernel::give_keys()
constexpr int control_set_type = 74;  // number: the type of what is written next
constexpr int control_clear_type = 75;

/// OpenSSL has new keys for sending, which the kernel can have. 1: it has them, and encrypts everything from now on.
long give_keys(tls_buffers& through, const void* keys) {
  if (through.socket < 0) return 0;
  const auto refused = [&](const char* what, int error) {
    through.why_not_kernel = fmt::format("{}: {}", what, std::generic_category().message(-error));
    return 0;
  };
  int result = tls_kernel::prepare(through.socket);
  if (result < 0) return refused("TCP_ULP", result);
  // What was encrypted here has to be in the socket before.
  for (;;) {
    const std::span<const std::byte> rest = through.output.next();
    if (rest.empty()) break;
    result = tls_kernel::send_plain(through.socket, rest);
    if (result < 0) return refused("sending what comes before", result);
    through.output.taken(static_cast<std::size_t>(result));
  }
  result = tls_kernel::give_keys(through.socket, keys);
  if (result < 0) return refused("TLS_TX", result);
  through.kernel_sends = true;
  return 1;
}

/// OpenSSL writes what the kernel will encrypt.
bool write_message(tls_buffers& to, std::span<const std::byte> bytes) {
  WEIR_DETAIL_ASSERT(to.type != tls_kernel::content::data, "OpenSSL was given data, although the kernel encrypts");
  if (!to.messages.append(to.type, bytes)) return false;
  to.type = tls_kernel::content::data;
  return true;
}

// ---- the BIO: OpenSSL's idea of a transport

int bio_write(BIO* bio, const char* bytes, std::size_t size, std::size_t* written) {
  BIO_clear_retry_flags(bio);
  auto& to = *static_cast<tls_buffers*>(BIO_get_data(bio));
  try {
    const auto all = std::as_bytes(std::span(bytes, size));
    if (to.kernel_sends ? write_message(to, all) : to.output.append(all)) {
      *written = size;
      return 1;
    }
  } catch (...) {
    return 0;  // no memory: the connection fails
  }
  BIO_set_retry_write(bio);
  return 0;
}

int bio_read(BIO* bio, char* into, std::size_t size, std::size_t* read) {
  BIO_clear_retry_flags(bio);
  auto& from = *static_cast<tls_buffers*>(BIO_get_data(bio));
  *read = from.input.take(std::as_writable_bytes(std::span(into, size)));
  if (*read != 0) return 1;
  BIO_set_retry_read(bio);  // also at the end, which OpenSSL is not told: what it knows stays usable for writing
  return 0;
}

long bio_control(BIO* bio, int command, long number, void* pointer) {
  auto& through = *static_cast<tls_buffers*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_GET_KTLS_SEND:
      return through.kernel_sends ? 1 : 0;
    case control_set_keys:
      try {
        return number != 0 ? give_keys(through, pointer) : 0;
      } catch (...) {
        return 0;  // no memory for the sentence; the keys come last
      }
    case control_set_type:
      through.type = static_cast<tls_kernel::content>(number);
      return 1;
    case control_clear_type:
      through.type = tls_kernel::content::data;
      return 1;
    default:
      return 0;
  }
}

const BIO_METHOD* bio_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = not_null(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir"));
    BIO_meth_set_write_ex(made, bio_write);
    BIO_meth_set_read_ex(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> address{};
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

// ---- what a certificate says

std::string text_of(const X509_NAME* name) {
  const bio_ptr text(not_null(BIO_new(BIO_s_mem())));
  X509_NAME_print_ex(text.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

std::string_view text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::vector<std::string> names_of(const X509* certificate) {
  std::vector<std::string> all;
  auto* const names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  const openssl_ptr<GENERAL_NAMES, GENERAL_NAMES_free> owned(names);
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type == GEN_DNS) all.emplace_back(text_of(static_cast<const ASN1_STRING*>(value)));
    if (type == GEN_IPADD) {
      const std::string_view bytes = text_of(static_cast<const ASN1_STRING*>(value));
      std::array<char, INET6_ADDRSTRLEN> text{};
      if (bytes.size() == 4 || bytes.size() == 16) {
        ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
        all.emplace_back(text.data());
      }
    }
  }
  return all;
}

std::chrono::system_clock::time_point moment_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string fingerprint_of(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  X509_digest(certificate, EVP_sha256(), digest.data(), &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace

class tls_engine::state {
 public:
  explicit state(std::shared_ptr<tls_settings> of) : settings(std::move(of)) {}

  /// What a step of OpenSSL, which did not succeed, has met.
  tls_step judge(int result, tls_errc otherwise) {
    const int why = SSL_get_error(ssl.get(), result);
    if (why == SSL_ERROR_WANT_READ) {
      return ended ? tls_step::truncated : tls_step::needs_input;
    }
    if (why == SSL_ERROR_WANT_WRITE) return tls_step::needs_output_taken;
    const unsigned long error = ERR_peek_error();
    const long verified = SSL_get_verify_result(ssl.get());
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      return fail_for_good(tls_errc::certificate_rejected, X509_verify_cert_error_string(verified));
    }
    if (error == 0 || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE) {
      return fail_for_good(otherwise, "out of memory");
    }
    return fail_for_good(otherwise, take_openssl_reason());
  }
  tls_step fail_for_good(tls_errc what, std::string why) {
    failed = true;
    code = what;
    reason = std::move(why);
    ERR_clear_error();
    return tls_step::failed;
  }

  std::mutex mutex;  // of all that follows
  std::shared_ptr<tls_settings> settings;
  session_owner owner;
  tls_buffers through;
  ssl_ptr ssl;
  bool ended = false;     // the transport
  bool agreed = false;    // the handshake is done
  bool finished = false;  // nothing more is written
  bool failed = false;    // for good:
  std::error_code code;
  std::string reason;
};

tls_engine::tls_engine(const tls_context& context, std::string_view host)
    : state_(std::make_unique<state>(context.shared_)) {
  state& s = *state_;
  if (host.ends_with('.')) host.remove_suffix(1);  // the root of all names, which certificates do not write
  const std::string name(host);
  if (!s.settings->server && s.settings->verifies && name.empty()) {
    throw std::invalid_argument("tls_stream: a client has to say which host it wants to reach");
  }
  ERR_clear_error();
  s.ssl.reset(not_null(SSL_new(s.settings->context.get())));
  SSL* const ssl = s.ssl.get();
  BIO* const bio = not_null(BIO_new(bio_method()));
  BIO_set_data(bio, &s.through);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  if (s.settings->server) {
    SSL_set_accept_state(ssl);
    return;
  }
  SSL_set_connect_state(ssl);
  if (name.empty()) return;
  const bool address = is_address(name);
  if (!address && SSL_set_tlsext_host_name(ssl, name.c_str()) != 1) {
    ERR_clear_error();
    throw std::invalid_argument(fmt::format("tls_stream: \"{}\" is no name of a host", name));
  }
  if (s.settings->verifies) {
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int set = address ? X509_VERIFY_PARAM_set1_ip_asc(wanted, name.c_str())
                            : X509_VERIFY_PARAM_set1_host(wanted, name.data(), name.size());
    if (set != 1) {
      ERR_clear_error();
      throw std::invalid_argument(fmt::format("tls_stream: \"{}\" is no name of a host", name));
    }
  }
  s.owner = {.settings = s.settings.get(), .host = name};
  SSL_set_ex_data(ssl, session_owner_index(), &s.owner);
  if (const session_ptr session = s.settings->sessions->take(name)) SSL_set_session(ssl, session.get());
}

tls_engine::~tls_engine() {
  WEIR_DETAIL_ASSERT(!reading.load(std::memory_order_relaxed) && !writing.load(std::memory_order_relaxed),
                     "a tls_stream was destroyed while a task uses it");
  // A session whose connection was just dropped is as good as another; OpenSSL would throw it away (RFC 5246, 7.2.1).
  if (!state_->failed) SSL_set_shutdown(state_->ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

tls_step tls_engine::handshake(descriptor* socket) {
  state& s = *state_;
  const std::lock_guard guard(s.mutex);
  if (s.failed) return tls_step::failed;
  if (s.agreed) return tls_step::done;
  ERR_clear_error();
  std::optional<held_end> held;
  if (socket && s.settings->kernel) held.emplace(*socket, io_use::other);
  s.through.socket = held && *held ? socket->number() : -1;
  const int result = SSL_do_handshake(s.ssl.get());
  s.through.socket = -1;
  if (s.through.kernel_sends) kernel_sends_.store(true, std::memory_order_relaxed);
  if (result == 1) {
    s.agreed = true;
    return tls_step::done;
  }
  const tls_step step = s.judge(result, tls_errc::handshake_failed);
  if (step == tls_step::truncated) {
    return s.fail_for_good(tls_errc::handshake_failed, "the peer has closed the connection");
  }
  return step;
}

tls_step tls_engine::read(std::span<std::byte> into, std::size_t& moved) {
  state& s = *state_;
  const std::lock_guard guard(s.mutex);
  moved = 0;
  if (s.failed) return tls_step::failed;
  if (!s.agreed) return tls_step::before_handshake;
  SSL* const ssl = s.ssl.get();
  while (moved < into.size()) {
    ERR_clear_error();
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl, into.data() + moved, into.size() - moved, &n);
    if (result != 1) {
      if (SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN) break;
      const tls_step step = s.judge(result, tls_errc::protocol_error);
      if (moved != 0) break;  // what went wrong is told next time
      return step;
    }
    moved += n;
    if (s.through.input.size() == 0 && SSL_has_pending(ssl) == 0) break;
  }
  return tls_step::done;
}

tls_step tls_engine::write(std::span<const std::byte> from, std::size_t& moved) {
  state& s = *state_;
  const std::lock_guard guard(s.mutex);
  moved = 0;
  if (s.failed) return tls_step::failed;
  if (!s.agreed) return tls_step::before_handshake;
  if (s.finished) return tls_step::after_finish;
  const std::size_t most = std::min(from.size(), most_kept);
  while (moved < most) {  // a record each time
    ERR_clear_error();
    std::size_t n = 0;
    const int result = SSL_write_ex(s.ssl.get(), from.data() + moved, most - moved, &n);
    if (result != 1) {
      const tls_step step = s.judge(result, tls_errc::protocol_error);
      if (moved != 0) break;
      return step;
    }
    moved += n;
  }
  return tls_step::done;
}

tls_step tls_engine::may_write() {
  state& s = *state_;
  const std::lock_guard guard(s.mutex);
  if (s.failed) return tls_step::failed;
  if (!s.agreed) return tls_step::before_handshake;
  if (s.finished) return tls_step::after_finish;
  if (SSL_get_key_update_type(s.ssl.get()) != SSL_KEY_UPDATE_NONE) {
    // RFC 8446, 4.6.3: we have to change our keys before we send more.
    constexpr std::array alert = {std::byte{SSL3_AL_FATAL}, std::byte{SSL_AD_INTERNAL_ERROR}};
    static_cast<void>(s.through.messages.append(tls_kernel::content::alert, alert));
    return s.fail_for_good(tls_errc::protocol_error, "the peer asks for new keys, which the kernel cannot be given");
  }
  return tls_step::done;
}

tls_step tls_engine::finish() {
  state& s = *state_;
  const std::lock_guard guard(s.mutex);
  if (s.failed) return tls_step::failed;
  if (!s.agreed) return tls_step::before_handshake;
  if (s.finished) return tls_step::done;
  ERR_clear_error();
  const int result = SSL_shutdown(s.ssl.get());
  if (result < 0) return s.judge(result, tls_errc::protocol_error);
  s.finished = true;
  return tls_step::done;
}

void tls_engine::raise(tls_step failure, const char* verb, const std::string& name) const {
  std::error_code code;
  std::string reason;
  switch (failure) {
    case tls_step::truncated:
      code = tls_errc::truncated;
      reason = "the connection ended without close_notify";
      break;
    case tls_step::before_handshake:
      code = std::make_error_code(std::errc::not_connected);
      reason = "the handshake is not done";
      break;
    case tls_step::after_finish:
      code = std::make_error_code(std::errc::broken_pipe);
      reason = "finish() or shutdown() came before";
      break;
    default: {
      const std::lock_guard guard(state_->mutex);
      code = state_->code;
      reason = state_->reason;
    }
  }
  throw std::system_error(code, fmt::format("{} {}: {}", verb, name, reason));
}

std::span<std::byte> tls_engine::room() {
  const std::lock_guard guard(state_->mutex);
  read_buffer& input = state_->through.input;
  return input.room(input.size() + 1, 0);
}

void tls_engine::filled(std::size_t n) {
  const std::lock_guard guard(state_->mutex);
  state_->through.input.filled(n);
  if (n == 0) state_->ended = true;
}

std::span<const std::byte> tls_engine::output() {
  const std::lock_guard guard(state_->mutex);
  return state_->through.output.next();
}

void tls_engine::taken(std::size_t n) {
  const std::lock_guard guard(state_->mutex);
  state_->through.output.taken(n);
}

std::string tls_engine::why_not_kernel() const {
  const std::lock_guard guard(state_->mutex);
  const state& s = *state_;
  if (s.through.kernel_sends) return {};
  if (!s.settings->kernel) return "the context does not ask for it";
  if (!s.through.why_not_kernel.empty()) return s.through.why_not_kernel;
  if (!s.agreed) return "the handshake is not done";
  return fmt::format("OpenSSL, or the transport, cannot with {}", SSL_get_cipher_name(s.ssl.get()));
}

bool tls_engine::send_messages(descriptor* socket) {
  const auto fail = [&](int error) {
    throw std::system_error(-error, std::generic_category(), fmt::format("write {}", socket ? socket->name() : ""));
  };
  if (!socket) fail(-EBADF);
  const std::lock_guard guard(state_->mutex);
  message_queue& messages = state_->through.messages;
  if (messages.empty()) return true;
  const held_end held(*socket, io_use::other);
  if (!held) fail(held.error());
  while (!messages.empty()) {
    const int n = tls_kernel::send_message(socket->number(), messages.type(), messages.next());
    if (n == -EAGAIN) return false;
    if (n < 0) fail(n);
    messages.taken(static_cast<std::size_t>(n));
  }
  return true;
}

bool tls_engine::established() const {
  const std::lock_guard guard(state_->mutex);
  return state_->agreed;
}

bool tls_engine::resumed() const {
  const std::lock_guard guard(state_->mutex);
  return SSL_session_reused(state_->ssl.get()) == 1;
}

std::string tls_engine::protocol() const {
  const std::lock_guard guard(state_->mutex);
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(state_->ssl.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string tls_engine::version() const {
  const std::lock_guard guard(state_->mutex);
  return SSL_get_version(state_->ssl.get());
}

std::string tls_engine::cipher() const {
  const std::lock_guard guard(state_->mutex);
  return SSL_get_cipher_name(state_->ssl.get());
}

std::string tls_engine::server_name() const {
  const std::lock_guard guard(state_->mutex);
  const char* const name = SSL_get_servername(state_->ssl.get(), TLSEXT_NAMETYPE_host_name);
  return name ? name : "";
}

std::optional<tls_peer_certificate> tls_engine::peer_certificate() const {
  const std::lock_guard guard(state_->mutex);
  const X509* const certificate = SSL_get0_peer_certificate(state_->ssl.get());
  if (!certificate) return std::nullopt;
  return tls_peer_certificate{.subject = text_of(X509_get_subject_name(certificate)),
                              .issuer = text_of(X509_get_issuer_name(certificate)),
                              .names = names_of(certificate),
                              .not_before = moment_of(X509_get0_notBefore(certificate)),
                              .not_after = moment_of(X509_get0_notAfter(certificate)),
                              .sha256 = fingerprint_of(certificate)};
}

void fail_busy(const char* verb, const std::string& name) {
  throw std::system_error(EBUSY, std::generic_category(),
                          fmt::format("{} {}: another task is doing so at the same time", verb, name));
}

void fail_without_tls(const char* verb) {
  throw std::system_error(EBADF, std::generic_category(), fmt::format("{} a tls_stream without a stream", verb));
}

}  // namespace weir::detail
