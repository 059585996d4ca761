export default { name: 'bent', version: '1.0.0', apiVersion: 1, stages: { gather: { description: 'No schema.' } } };
