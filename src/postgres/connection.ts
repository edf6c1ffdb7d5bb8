export { openClient } from './client.ts';
export { type Hidden, hidden } from './hidden.ts';
export { libpqEnvironment } from './libpq-environment.ts';
export { type ConnectionSettings, describeConnection, type HostPort, parseConnection, type SslMode, withDatabase } from './settings.ts';
