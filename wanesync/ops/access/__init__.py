"""Who may use the admin service, as operators read and change it."""
