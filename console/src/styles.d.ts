declare module "*.css"; // Vite makes a file of it
