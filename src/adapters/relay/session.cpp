#include "adapters/relay/session.hpp"

namespace signalbox::relay {

Endpoint::Endpoint(const routing::EndpointConfig& config, std::size_t shards)
    : name(config.name), cluster(config.cluster), counters(shards) {
    limit(config);
}

void Endpoint::limit(const routing::EndpointConfig& config) {
    hold_time_ns = config.hold.time_max.count();
    hold_connections_max = config.hold.connections_max;
    sessions_max = config.sessions_max;
}

Session::Session(Socket socket, std::shared_ptr<Endpoint> at, ClusterRoutes& routes)
    : client(std::move(socket)),
      server(client.get_executor()),
      timer(client.get_executor()),
      endpoint(std::move(at)),
      cluster(routes),
      accepted_at(std::chrono::steady_clock::now()) {}

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

}  // namespace signalbox::relay
