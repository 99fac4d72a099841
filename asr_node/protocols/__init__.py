"""What clients speak: OpenAI's and Gradio's HTTP interfaces, and what they share."""
