# docker build -t cf-translate .  &&  docker run -p 7860:7860 cf-translate
# The web page with its weights; nothing is fetched at the start. As a Hugging Face Space: sdk docker, app_port 7860.
FROM python:3.11-slim-bookworm

# 1000 is the user that Hugging Face runs containers as.
RUN useradd --create-home --uid 1000 user
USER 1000
WORKDIR /home/user/app
ENV PATH=/home/user/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

# pip reads this: an index with builds of torch without CUDA makes the image several GB smaller.
ARG PIP_EXTRA_INDEX_URL
COPY --chown=1000:1000 constraints.txt space/requirements.txt ./
RUN python3 -m venv /home/user/venv \
    && pip install -c constraints.txt -r requirements.txt gradio

COPY --chown=1000:1000 app.py LICENSE NOTICE ./
COPY --chown=1000:1000 models models
COPY --chown=1000:1000 translate translate
COPY --chown=1000:1000 samples samples

ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_OFFLINE=1
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/gradio_api/app_id', timeout=4)"]
CMD ["python", "app.py"]
