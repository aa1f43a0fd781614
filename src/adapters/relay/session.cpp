#include "adapters/relay/session.hpp"

namespace signalbox::relay {
namespace {

Gate& gate_of(ClusterRoutes& routes, const Endpoint& endpoint) {
    return endpoint.role == routing::Role::Reader ? routes.readers[endpoint.name] : routes.writers;
}

}  // namespace

Endpoint::Endpoint(const routing::EndpointConfig& config, std::size_t shards)
    : name(config.name), cluster(config.cluster), role(config.role), protocol(config.protocol), counters(shards) {
    limit(config);
}

void Endpoint::limit(const routing::EndpointConfig& config) {
    hold_time_ns = config.hold.time_max.count();
    hold_connections_max = config.hold.connections_max;
    hold_bytes_max = config.hold.bytes_max;
    sessions_max = config.sessions_max;
}

Session::Session(Socket socket, std::shared_ptr<Endpoint> at, ClusterRoutes& routes)
    : client(std::move(socket)),
      server(client.get_executor()),
      timer(client.get_executor()),
      endpoint(std::move(at)),
      cluster(routes),
      gate(gate_of(routes, *endpoint)),
      accepted_at(Clock::now()) {}

void Session::reset_server() {
    boost::system::error_code ignored;
    if (!server.is_open()) return;
    server.set_option(asio::socket_base::linger(true, 0), ignored);
    server.close(ignored);
}

void Session::close_server() {
    boost::system::error_code ignored;
    if (server.is_open()) server.close(ignored);
}

void Session::close_client() {
    // Not reset: what a server acknowledged and we already wrote should still reach the client.
    boost::system::error_code ignored;
    if (client.is_open()) client.close(ignored);
}

clusters::ServerSession server_session(std::uint64_t connection_id, const asio::ip::tcp::endpoint& local) {
    if (local.port() == 0) return {connection_id, {}};
    return {connection_id, base::HostPort{local.address().to_string(), local.port()}.text()};
}

}  // namespace signalbox::relay
