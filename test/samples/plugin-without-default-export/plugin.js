export const plugin = { name: 'shy', version: '1.0.0', apiVersion: 1 };
