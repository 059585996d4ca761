throw new Error('the cupboard is locked');
