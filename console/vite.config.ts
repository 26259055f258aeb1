import { defineConfig } from "vite";

const GATEWAY = "http://localhost:8000"; // `npm run dev` beside `make demo`

export default defineConfig({
  base: "./", // a proxy may serve the page under a path
  build: {
    outDir: "../backend/src/gateway/http/console",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0, // a file of its own may be kept by a browser
    modulePreload: false, // one script: nothing to preload
  },
  server: {
    proxy: {
      "/ws": { target: GATEWAY, ws: true },
      "/health": GATEWAY,
      "/snapshot": GATEWAY,
      "/history": GATEWAY,
      "/events": GATEWAY,
    },
  },
});
