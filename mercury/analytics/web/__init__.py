"""What the live page is made of; nothing of it comes from elsewhere."""
