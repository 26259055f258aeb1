import { defineConfig } from "vite";

// The TypeScript client as one script for plain pages: the gateway serves it at /client.js, beside the console.
export default defineConfig({
  build: {
    outDir: "../backend/src/gateway/http/console",
    emptyOutDir: false,
    copyPublicDir: false,
    target: "es2022",
    lib: {
      entry: "src/client.ts",
      formats: ["iife"],
      name: "spymaster",
      fileName: () => "client.js",
    },
  },
});
