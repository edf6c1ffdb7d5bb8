module.exports = { forbidden: [{ name: 't', severity: 'error', from: { path: '^src/cli' }, to: { path: '^src/core' } }], options: {} };
