#pragma once
// The little of PostgreSQL's protocol that a relay has to know: what a client opens a connection with, the error that
// answers it, and the key by which a session can be cancelled. Pure: bytes in, structs out, and back.
// Source: PostgreSQL manual, "Frontend/Backend Protocol": Message Flow (Start-up, Canceling Requests, SSL and GSSAPI
// Session Encryption) and Message Formats.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>

namespace signalbox::wire::postgres {

constexpr std::size_t packet_min_bytes = 8;           // length and code
constexpr std::size_t startup_max_bytes = 10'000;     // the server's own limit, MAX_STARTUP_PACKET_LENGTH
constexpr std::size_t secret_max_bytes = 256;         // protocol 3.2; 4 bytes before
constexpr std::string_view encryption_refused = "N";  // the whole answer to SSLRequest and GSSENCRequest

// By which a session can be cancelled: BackendKeyData of the server, CancelRequest of a client.
struct CancelKey {
    std::uint32_t process_id = 0;
    std::string secret;  // 4–256 bytes
    friend bool operator==(const CancelKey&, const CancelKey&) = default;
    friend bool operator<(const CancelKey& a, const CancelKey& b) {
        return std::tie(a.process_id, a.secret) < std::tie(b.process_id, b.secret);
    }
};

enum class OpeningKind {
    Incomplete,  // more bytes are needed to tell
    Startup,     // a session without encryption; whole or not, see size_bytes
    SslRequest,
    GssRequest,
    Cancel,
    Tls,      // a TLS handshake without a request before it ("direct" negotiation)
    Unknown,  // not this protocol
};

struct Opening {
    OpeningKind kind = OpeningKind::Incomplete;
    std::size_t size_bytes = 0;  // of the whole packet; 0 for Incomplete, Tls and Unknown
    CancelKey cancel;            // for Cancel
};

// The packet at the beginning of the bytes. Never reads more than one packet.
Opening parse_opening(std::string_view bytes);

// The whole ErrorResponse of severity FATAL. sql_state has 5 characters. Texts are cut at 1,000 bytes; a NUL in them
// ends them.
std::string build_fatal(std::string_view sql_state, std::string_view message, std::string_view hint);

// The whole CancelRequest.
std::string build_cancel(const CancelKey& key);

// The client's farewell is the last that the bytes hold: a server that closes after it did so because it was asked.
bool ends_with_terminate(std::string_view bytes);

// Follows the start of a conversation between a client and a server, given in pieces of any size in the order in which
// they pass, until there is nothing more to learn from it. Keeps at most some hundred bytes.
class StartupScan {
  public:
    void from_client(std::string_view bytes);
    void from_server(std::string_view bytes);
    // Nothing more to learn: the session runs, was refused, is encrypted, or does not follow the protocol.
    bool done() const { return state_ == State::Done; }
    // The session's, once the server told it.
    const std::optional<CancelKey>& key() const { return key_; }
    // What the client asks for instead of a session, whole.
    const std::optional<CancelKey>& cancel() const { return cancel_; }
    // Of the error with which the server refused; empty if it did not.
    const std::string& sql_state() const { return sql_state_; }

  private:
    enum class State { Opening, Encryption, Messages, Done };
    void messages(std::string_view bytes);
    void message_ended();

    State state_ = State::Opening;
    std::string kept_;           // of the packet or message under way
    std::size_t body_left_ = 0;  // of the message under way, once its header is whole
    bool in_body_ = false;
    std::optional<CancelKey> key_;
    std::optional<CancelKey> cancel_;
    std::string sql_state_;
};

}  // namespace signalbox::wire::postgres
