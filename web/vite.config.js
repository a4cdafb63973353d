import { defineConfig } from "vite";

// the built files are kept in the repository, so that the wheel needs no Node: their names must not change
export default defineConfig({
  base: "/explore/",
  build: {
    outDir: "../minicnn/explorer/static",
    emptyOutDir: true,
    modulePreload: false,
    rollupOptions: {
      output: { entryFileNames: "explore.js", assetFileNames: "explore[extname]" },
    },
  },
});
