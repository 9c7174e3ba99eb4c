"""Interactive programs: editors, pagers, REPLs, menus, forms."""
