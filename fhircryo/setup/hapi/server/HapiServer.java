package fhircryo;

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings.ClientIdStrategyEnum;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.cache.IResourceTypeCacheSvc;
import ca.uhn.fhir.jpa.packages.IPackageInstallerSvc;
import ca.uhn.fhir.jpa.packages.PackageInstallationSpec;
import ca.uhn.fhir.jpa.packages.PackageInstallationSpec.InstallModeEnum;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.test.config.TestHSearchAddInConfig;
import ca.uhn.fhir.jpa.test.config.TestR4Config;
import ca.uhn.fhir.jpa.test.config.TestR5Config;
import ca.uhn.fhir.jpa.validation.ValidationSettings;
import ca.uhn.fhir.rest.annotation.Metadata;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.interceptor.RequestValidatingInterceptor;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import ca.uhn.fhir.util.FhirTerser;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.URI;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import javax.sql.DataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.hl7.fhir.instance.model.api.IBase;
import org.hl7.fhir.instance.model.api.IBaseConformance;
import org.hl7.fhir.r5.utils.validation.constants.ReferenceValidationPolicy;
import org.springframework.web.context.support.AnnotationConfigWebApplicationContext;

/**
 * A HAPI FHIR JPA server in one process, its data in memory.
 *
 * <p>Argument: the port (0: a free one). System properties: see {@link Switch}; besides,
 * {@code hapi.fhir} (R4 or R5). On stdout stands one line when it answers:
 * {@code HAPI ready http://127.0.0.1:PORT/fhir}. It ends when its stdin does. Beside the FHIR base, {@code /settings} shows the
 * switches and a POST changes them while the server runs, so that one server serves tests that
 * want different ones; a POST to {@code /packages} installs an NPM package.
 */
public final class HapiServer {
  /** What can be set, with the property that sets it at the start and what holds without. */
  private enum Switch {
    /** Matches on a page at most, whatever _count asks for. */
    MAX_PAGE("50"),
    /** Matches on a page where the client asks for no number. */
    DEFAULT_PAGE("20"),
    /** Whether PUT with an id of the client's own creates. */
    UPDATE_AS_CREATE("true"),
    /** Whether resources may be deleted. */
    DELETE("true"),
    /** Whether a reference must lead to something when it is written. */
    INTEGRITY_ON_WRITE("true"),
    /** Whether what others refer to is kept from being deleted. */
    INTEGRITY_ON_DELETE("true"),
    /** Whether references to other servers may be written. */
    EXTERNAL_REFERENCES("false"),
    /** Whether a search is answered from the same one of the last minute, as HAPI does by default. */
    REUSE_SEARCHES("false"),
    /** Whether validation looks at the type of what a reference leads to. */
    REFERENCE_TYPES("false"),
    /** Whether what is not valid is refused, as is what states a profile that is not known. */
    VALIDATE_REQUESTS("false"),
    /** Whether jobs, exports among them, are looked after every second and not every minute. */
    HURRY_JOBS("false");

    private final String initial;

    Switch(String initial) {
      this.initial = initial;
    }

    String key() {
      return name().toLowerCase();
    }

    String atStart() {
      return System.getProperty("hapi." + key(), initial);
    }
  }

  private final JpaStorageSettings storage;
  private final ValidationSettings validation;
  private final RestfulServer server;
  private final RequestValidatingInterceptor validator;
  private final DatabaseBackedPagingProvider paging;
  private final Map<Switch, String> current = Collections.synchronizedMap(new LinkedHashMap<>());
  /** By the values of the switches. */
  private final Map<String, IBaseConformance> statements = new ConcurrentHashMap<>();

  private HapiServer(AnnotationConfigWebApplicationContext beans) {
    this.storage = beans.getBean(JpaStorageSettings.class);
    this.validation = beans.getBean(ValidationSettings.class);
    this.server = new RestfulServer(beans.getBean(FhirContext.class));
    this.validator = beans.getBean(RequestValidatingInterceptor.class);
    DatabaseBackedPagingProvider paging = beans.getBean(DatabaseBackedPagingProvider.class);
    this.paging = paging;
    storage.setExpungeEnabled(true);
    storage.setDeleteExpungeEnabled(true);
    storage.setAllowMultipleDelete(true);
    for (Switch one : Switch.values()) {
      set(one, one.atStart());
    }
  }

  private synchronized void set(Switch which, String value) {
    boolean on = Boolean.parseBoolean(value);
    switch (which) {
      case MAX_PAGE -> paging.setMaximumPageSize(Integer.parseInt(value));
      case DEFAULT_PAGE -> paging.setDefaultPageSize(Integer.parseInt(value));
      case UPDATE_AS_CREATE -> storage.setResourceClientIdStrategy(
          // ANY: ids of digits alone too, as hospitals have them.
          on ? ClientIdStrategyEnum.ANY : ClientIdStrategyEnum.NOT_ALLOWED);
      case DELETE -> storage.setDeleteEnabled(on);
      case INTEGRITY_ON_WRITE -> storage.setEnforceReferentialIntegrityOnWrite(on);
      case INTEGRITY_ON_DELETE -> storage.setEnforceReferentialIntegrityOnDelete(on);
      case EXTERNAL_REFERENCES -> storage.setAllowExternalReferences(on);
      // Off, since tests write and look.
      case REUSE_SEARCHES -> storage.setReuseCachedSearchResultsForMillis(on ? 60_000L : null);
      case REFERENCE_TYPES -> validation.setLocalReferenceValidationDefaultPolicy(
          on ? ReferenceValidationPolicy.CHECK_TYPE_IF_EXISTS : ReferenceValidationPolicy.IGNORE);
      case VALIDATE_REQUESTS -> validateRequests(on);
      case HURRY_JOBS -> {} // looked at by who hurries them
    }
    current.put(which, value);
  }

  private void validateRequests(boolean on) {
    if (on) {
      server.registerInterceptor(validator);
    } else {
      server.unregisterInterceptor(validator);
    }
  }

  private boolean isOn(Switch which) {
    return Boolean.parseBoolean(current.get(which));
  }

  /** The switches by HTTP: GET shows them, POST with a form sets those that it names. */
  private final class SettingsServlet extends HttpServlet {
    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response)
        throws IOException {
      StringBuilder text = new StringBuilder("{");
      current.forEach(
          (which, value) ->
              text.append(text.length() > 1 ? "," : "")
                  .append('"').append(which.key()).append("\":\"").append(value).append('"'));
      response.setContentType("application/json");
      response.getWriter().print(text.append('}'));
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
        throws IOException {
      try {
        request
            .getParameterMap()
            .forEach((key, values) -> set(Switch.valueOf(key.toUpperCase()), values[0]));
      } catch (IllegalArgumentException unknown) {
        response.sendError(400, unknown.getMessage());
        return;
      }
      doGet(request, response);
    }
  }

  /** Packages by HTTP: a POST of an NPM package, named by the parameters, installs it. */
  private static final class PackagesServlet extends HttpServlet {
    private final transient IPackageInstallerSvc installer;

    PackagesServlet(IPackageInstallerSvc installer) {
      this.installer = installer;
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
        throws IOException {
      PackageInstallationSpec wanted =
          new PackageInstallationSpec()
              .setName(request.getParameter("name"))
              .setVersion(request.getParameter("version"))
              .setInstallMode(InstallModeEnum.STORE_AND_INSTALL)
              .setPackageContents(request.getInputStream().readAllBytes());
      wanted.setReloadExisting(true);
      response.getWriter().print(installer.install(wanted).getResourcesInstalled());
    }
  }

  /** HAPI's own statement, saying besides whether update creates; made once for each setting. */
  public final class Statement extends JpaCapabilityStatementProvider {
    Statement(
        RestfulServer server,
        IFhirSystemDao<?, ?> dao,
        JpaStorageSettings settings,
        ISearchParamRegistry parameters,
        IValidationSupport validation) {
      super(server, dao, settings, parameters, validation);
      setImplementationDescription("HAPI for tests");
      setIncludeResourceCounts(false);
    }

    @Override
    @Metadata(cacheMillis = 0)
    public IBaseConformance getServerConformance(
        HttpServletRequest request, RequestDetails details) {
      // It takes a second or two; HAPI's own cache would outlive a switch by a minute.
      return statements.computeIfAbsent(
          current.toString(),
          setting -> (IBaseConformance) super.getServerConformance(request, details));
    }

    @Override
    protected void postProcessRestResource(FhirTerser terser, IBase resource, String name) {
      super.postProcessRestResource(terser, resource, name);
      String updates = String.valueOf(isOn(Switch.UPDATE_AS_CREATE));
      terser.setElement(resource, "updateCreate", updates);
    }
  }

  private RestfulServer fhir(AnnotationConfigWebApplicationContext beans, boolean r5) {
    server.registerProviders(beans.getBean(ResourceProviderFactory.class).createProviders());
    server.registerProvider(beans.getBean(r5 ? "mySystemProviderR5" : "mySystemProviderR4"));
    beans.getBeansOfType(BulkDataExportProvider.class).values().forEach(server::registerProvider);
    server.setServerConformanceProvider(
        new Statement(
            server,
            beans.getBean(IFhirSystemDao.class),
            storage,
            beans.getBean(ISearchParamRegistry.class),
            beans.getBean("myJpaValidationSupportChain", IValidationSupport.class)));
    server.setPagingProvider(paging);
    server.setDefaultResponseEncoding(EncodingEnum.JSON);
    return server;
  }

  private static void awaitMetadata(String base) throws IOException {
    HttpURLConnection connection =
        (HttpURLConnection) URI.create(base + "/metadata").toURL().openConnection();
    if (connection.getResponseCode() != 200) {
      throw new IOException("/metadata answers " + connection.getResponseCode());
    }
    connection.disconnect();
  }

  /** Looks after the jobs while that is switched on. */
  private void hurryJobs(IJobMaintenanceService jobs) {
    Thread hurrier =
        new Thread(
            () -> {
              while (true) {
                try {
                  Thread.sleep(1000);
                  if (isOn(Switch.HURRY_JOBS)) {
                    jobs.runMaintenancePass();
                  }
                } catch (InterruptedException ended) {
                  return;
                } catch (RuntimeException failed) {
                  // The next pass is a second away.
                }
              }
            },
            "hurry jobs");
    hurrier.setDaemon(true);
    hurrier.start();
  }

  /**
   * Takes the resource out of the index of codes.
   *
   * <p>A search by patients and codes makes H2 look up every code for every resource of the patients
   * in the index of both: 1.4 million times with 480 codes and the 62 patients. Without it, H2 takes
   * the index of the resource, and the search takes 10 ms in place of 700.
   */
  private static void narrowIndexOfCodes(DataSource database) throws SQLException {
    try (Connection connection = database.getConnection();
        java.sql.Statement statement = connection.createStatement()) {
      statement.execute("DROP INDEX IDX_SP_TOKEN_HASH_SV_V2");
      statement.execute(
          "CREATE INDEX IDX_SP_TOKEN_HASH_SV_V2 ON HFJ_SPIDX_TOKEN (HASH_SYS_AND_VALUE)");
    }
  }

  /** Ends with the process that started it, even where that one is killed. */
  private static void endWithStdin() {
    Thread watcher =
        new Thread(
            () -> {
              try {
                while (System.in.read() >= 0) {}
              } catch (IOException closed) {
                // The same as its end.
              }
              Runtime.getRuntime().halt(0);
            },
            "stdin");
    watcher.setDaemon(true);
    watcher.start();
  }

  public static void main(String[] arguments) throws Exception {
    endWithStdin();
    boolean r5 = "R5".equals(System.getProperty("hapi.fhir", "R4"));
    // These configurations draw a random size of their connection pool, to provoke dead ends.
    TestR4Config.ourMaxThreads = 100;
    TestR5Config.ourMaxThreads = 100;

    AnnotationConfigWebApplicationContext beans = new AnnotationConfigWebApplicationContext();
    beans.register(r5 ? TestR5Config.class : TestR4Config.class);
    // No full-text index: nobody searches it, and each write would pay for it.
    beans.register(TestHSearchAddInConfig.NoFT.class);
    beans.refresh();
    narrowIndexOfCodes(beans.getBean(DataSource.class));

    // A reference to nothing is kept as one to this type, which gets its number when it is first
    // written: two first writers at the same time collide there, and one is answered 500.
    beans.getBean(IResourceTypeCacheSvc.class).getResourceTypeId("(unknown)");

    HapiServer hapi = new HapiServer(beans);

    hapi.hurryJobs(beans.getBean(IJobMaintenanceService.class));

    Server jetty = new Server();
    ServerConnector connector = new ServerConnector(jetty);
    connector.setHost("127.0.0.1");
    connector.setPort(arguments.length > 0 ? Integer.parseInt(arguments[0]) : 0);
    jetty.addConnector(connector);
    ServletContextHandler context = new ServletContextHandler("/");
    context.addServlet(new ServletHolder(hapi.fhir(beans, r5)), "/fhir/*");
    context.addServlet(new ServletHolder(hapi.new SettingsServlet()), "/settings");
    context.addServlet(
        new ServletHolder(new PackagesServlet(beans.getBean(IPackageInstallerSvc.class))),
        "/packages");
    jetty.setHandler(context);
    jetty.start();

    String base = "http://127.0.0.1:" + connector.getLocalPort() + "/fhir";
    awaitMetadata(base);
    System.out.println("HAPI ready " + base);
    System.out.flush();
    jetty.join();
  }
}
