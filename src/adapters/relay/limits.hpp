#pragma once
// The bounds of the relay that nobody needs to configure.

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace signalbox::relay {

constexpr std::size_t bulk_bytes = 128 << 10;
constexpr int bursts_max = 16;  // bulk reads of one session before others get their turn
// Misses in a row; then only what came soon after it fell asleep lets a shard try again.
constexpr int spins_missed_max = 8;
constexpr auto spin_contended = std::chrono::microseconds(10);  // a yield that took longer: others want the core
constexpr auto spin_pause = std::chrono::milliseconds(5);       // after that
constexpr auto hint_interval = std::chrono::milliseconds(5);
constexpr auto retry_pause = std::chrono::milliseconds(20);
// For a greeting at least, whatever the hold time: a server may be slow to greet.
constexpr auto greeting_patience = std::chrono::seconds(10);
constexpr auto half_closed_max = std::chrono::seconds(30);  // for a client to notice that its server ended the session
constexpr std::size_t greeting_max_bytes = 512;
// For the first packet of a client that speaks first: what PostgreSQL itself gives it (authentication_timeout).
constexpr auto opening_patience = std::chrono::seconds(60);
// What is kept of a client before it has a server: a start-up packet has 10,000 bytes at most, and after it the client
// waits for an answer.
constexpr std::size_t early_max_bytes = 16 << 10;
constexpr auto refusal_patience = std::chrono::seconds(2);  // for a client to say enough to be told the error
constexpr std::uint64_t refusing_max = 1024;    // clients of one endpoint that are being told; others are just closed
constexpr int encryption_requests_max = 4;      // before a client is told the error
constexpr std::size_t cancel_targets_max = 32;  // readers that are asked when nobody knows whose key it is

}  // namespace signalbox::relay
