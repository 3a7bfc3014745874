-- Neovim 0.11 or newer: into ~/.config/nvim/lsp/, and vim.lsp.enable("flow") into init.lua.
return {
  cmd = { "flow", "lsp" },
  filetypes = { "toml" },
  root_markers = { "pipelines.toml" },
}
