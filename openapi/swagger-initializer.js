window.onload = () => {
  window.ui = SwaggerUIBundle({
    url: "/openapi.json",
    validatorUrl: "none",
    dom_id: "#swagger-ui",
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    plugins: [SwaggerUIBundle.plugins.DownloadUrl],
  });
};
