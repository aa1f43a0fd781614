import jakarta.servlet.DispatcherType;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.EnumSet;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.catalog.Catalog;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.ee10.servlet.FilterHolder;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/**
 * Iceberg's own REST catalog servlet (the one that its compatibility kit tests clients with) on a free port of the loopback, over a
 * catalog in a SQLite file. Arguments: FOLDER PREFIX TOKEN, each of the last two "" for none. Prints "port N" when it answers, then a line
 * "METHOD PATH?QUERY STATUS" for each request. Ends when its input ends, so that it never outlives whoever started it.
 */
public class RestCatalog {
  /** Refuses what carries no such bearer token, and tells what was asked. The servlet itself believes everybody and knows no prefix. */
  static class Gate extends HttpFilter {
    private static final long serialVersionUID = 1;
    private final String prefix;
    private final String token;

    Gate(String prefix, String token) {
      this.prefix = prefix;
      this.token = token;
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain) throws IOException, ServletException {
      boolean open = token.isEmpty() || request.getRequestURI().endsWith("/v1/oauth/tokens");
      if (open || ("Bearer " + token).equals(request.getHeader("Authorization"))) {
        chain.doFilter(
            new HttpServletRequestWrapper(request) {
              @Override
              public String getRequestURI() {
                return super.getRequestURI().substring(prefix.length());
              }
            },
            response);
      } else {
        response.setStatus(401);
        response.setContentType("application/json");
        response.getWriter().write("{\"error\":{\"message\":\"Not authorized\",\"type\":\"NotAuthorizedException\",\"code\":401}}");
      }
      String query = request.getQueryString() == null ? "" : "?" + request.getQueryString();
      System.out.println(request.getMethod() + " " + request.getRequestURI() + query + " " + response.getStatus());
    }
  }

  public static void main(String[] arguments) throws Exception {
    String folder = arguments[0];
    Catalog catalog =
        CatalogUtil.buildIcebergCatalog(
            "rest_backend",
            Map.of(
                "catalog-impl", "org.apache.iceberg.jdbc.JdbcCatalog",
                "uri", "jdbc:sqlite:" + folder + "/catalog.db",
                "jdbc.schema-version", "V1",
                "clients", "1",
                "warehouse", folder + "/warehouse"),
            new Configuration());
    ServletContextHandler context = new ServletContextHandler(arguments[1].isEmpty() ? "/" : arguments[1], ServletContextHandler.NO_SESSIONS);
    context.addFilter(new FilterHolder(new Gate(arguments[1], arguments[2])), "/*", EnumSet.of(DispatcherType.REQUEST));
    context.addServlet(new ServletHolder(new RESTCatalogServlet(new RESTCatalogAdapter(catalog))), "/*");
    Server server = new Server(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    server.setHandler(context);
    server.start();
    System.out.println("port " + ((ServerConnector) server.getConnectors()[0]).getLocalPort());
    while (System.in.read() >= 0) {}
    System.exit(0);
  }
}
