#pragma once
// The lab's DNS server: authoritative for the zone "lab" over UDP and TCP, refuses everything else.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "lab/names.hpp"
#include "lab/sys.hpp"

namespace signalbox::lab {

inline constexpr std::uint32_t name_ttl_s = 5;

// The answer to one query in wire format, or nothing when the bytes are no query. Pure but for `names`.
std::vector<std::uint8_t> answer_dns(const Names& names, const std::uint8_t* query, std::size_t size);

class Resolver {
  public:
    // Binds port 53 of the address in the calling thread's network namespace and serves on a thread of its own.
    static base::Result<std::unique_ptr<Resolver>> start(const Names& names, const std::string& address,
                                                         std::uint16_t port = 53);
    ~Resolver();
    std::uint16_t port() const { return port_; }

  private:
    Resolver(const Names& names, Fd udp, Fd tcp, std::uint16_t port);
    void loop();
    void serve_udp();
    void serve_tcp();

    const Names& names_;
    Fd udp_;
    Fd tcp_;
    std::uint16_t port_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

}  // namespace signalbox::lab
